"""The last two files of a draft: what the others are, and the signature of that."""

from collections.abc import Mapping, Sequence

from services.export.domain.export import Export
from services.export.domain.job import Mark
from services.export.formats.shelf import Draft
from services.export.formats.signing import ManifestSigner
from services.export_format.layout import (
    MANIFEST,
    SIGNATURE,
    Counts,
    FileFacts,
    Manifest,
    time_of,
)


def write_manifest(
    draft: Draft,
    export: Export,
    *,
    staff_name: str,
    marks: Mapping[str, Mark],
    conversations: Sequence[Counts],
    signer: ManifestSigner,
) -> None:
    """Of nothing that another run of the job would find different; waits for the disk."""
    manifest = Manifest(
        export_id=str(export.id),
        clinic_id=str(export.clinic_id),
        scope=str(export.scope),
        staff_id=str(export.staff_id),
        staff_name=staff_name,
        requested_at=time_of(export.created_at),
        cutoff_at=time_of(export.cutoff_at),
        files={
            name: FileFacts(mark.bytes, mark.lines, draft.hash_of(name), mark.link)
            for name, mark in marks.items()
        },
        conversations=conversations,
    ).encode()
    draft.write(MANIFEST, manifest)
    draft.write(SIGNATURE, signer.sign(manifest))
