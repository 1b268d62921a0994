"""Makes gen/ from protos/: messages, stubs, their types, and the descriptors of all of it.

    gen/clinic/<service>/v1/   *_pb2.py and *_pb2_grpc.py, each with its .pyi
    gen/third_party/           the protos of others that ours import, out of their installed wheel
    gen/descriptors.binpb      every file with its imports and comments, for tests and the gateway

The new output is made aside and takes the place of the old only when all of it is there, so that
a proto with a mistake leaves what was generated before.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PROTOS = REPOSITORY / "protos"
OUTPUT = REPOSITORY / "gen"
THIRD_PARTY = (
    "google/api/annotations.proto",
    "google/api/field_behavior.proto",
    "google/api/http.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
)
MADE = ("clinic", "third_party", "descriptors.binpb")


def copy_third_party(target: Path) -> None:
    """Nobody else's protos are kept in this repository; their wheel is pinned by its hash."""
    wheel = importlib.metadata.distribution("googleapis-common-protos")
    for name in THIRD_PARTY:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(wheel.locate_file(name)), target / name)


def compile_protos(output: Path, third_party: Path) -> int:
    typing_plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy_grpc"
    return subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc"),
            f"--proto_path={PROTOS}",
            f"--proto_path={third_party}",
            f"--plugin=protoc-gen-mypy_grpc={typing_plugin}",
            f"--python_out={output}",
            f"--pyi_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_grpc_out=quiet:{output}",
            f"--descriptor_set_out={output / 'descriptors.binpb'}",
            "--include_imports",
            "--include_source_info",
            *sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto")),
        ]
    ).returncode


def drop_empty_stubs(output: Path) -> None:
    """protoc writes a stub module for every file; one without a service only confuses."""
    for stubs in output.rglob("*_pb2_grpc.py"):
        if "class " not in stubs.read_text():
            stubs.unlink()
            stubs.with_suffix(".pyi").unlink(missing_ok=True)


def replace(made: Path) -> None:
    """Whatever an older proto left behind goes with the old output."""
    for name in MADE:
        old = OUTPUT / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
        (made / name).rename(old)


def main() -> int:
    OUTPUT.mkdir(exist_ok=True)
    # Inside gen/, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(dir=OUTPUT, prefix=".making-") as directory:
        made = Path(directory)
        copy_third_party(made / "third_party")
        code = compile_protos(made, made / "third_party")
        if code == 0:
            drop_empty_stubs(made)
            replace(made)
    return code


if __name__ == "__main__":
    sys.exit(main())
