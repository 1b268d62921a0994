"""How every server is built: what it serves, what it refuses, and when it does not start."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any
from uuid import uuid4

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.chassis.client import open_channel
from services.chassis.identity import Role
from services.chassis.interceptors.admission import Admission
from services.chassis.interceptors.roles import allowed
from services.chassis.interceptors.status import DETAILS_KEY
from services.chassis.limits import REQUEST_BYTES, RESPONSE_BYTES
from services.chassis.server import registration, unimplemented_methods
from services.chassis.settings import RefusedToStart, Tls
from services.chassis.telemetry import exposition
from tests.support.eventually import eventually
from tests.support.grpc_world import (
    EchoServicer,
    Keys,
    bearer,
    echo,
    echo_pb2,
    echo_pb2_grpc,
    echo_registration,
    failure,
    reason,
    servicer_of,
    serving,
)
from tests.support.set_clock import SetClock

REQUEST = echo_pb2.EchoRequest(text="x")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path, SetClock())


def health_of(world):
    return health_pb2_grpc.HealthStub(world.channel)


@pytest.mark.parametrize("service", ["", "clinic.tests.v1.EchoService"])
async def test_health_is_told_to_anybody_and_is_bad_until_set(keys, service):
    request = health_pb2.HealthCheckRequest(service=service)
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        before = await health_of(world).Check(request)
        await world.built.health.set(serving=True)
        after = await health_of(world).Check(request)

    assert (before.status, after.status) == (NOT_SERVING, SERVING)


async def test_a_watch_of_health_sees_it_change(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        watch = health_of(world).Watch(health_pb2.HealthCheckRequest())
        before = await watch.read()
        await world.built.health.set(serving=True)
        after = await watch.read()
        watch.cancel()

    assert (before.status, after.status) == (NOT_SERVING, SERVING)


async def test_after_leaving_health_stays_bad(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        await world.built.health.set(serving=True)
        await world.built.health.leave()
        await world.built.health.set(serving=True)
        answer = await health_of(world).Check(health_pb2.HealthCheckRequest())

    assert answer.status == NOT_SERVING


async def test_garbage_to_the_health_service_is_the_callers_fault(keys):
    async with serving(keys, []) as world:
        check: Any = world.channel.unary_unary("/grpc.health.v1.Health/Check")
        error = await failure(check(b"\xff"))

    assert reason(error) == "REQUEST_MALFORMED"


async def reflected(world) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(world.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stream = stub.ServerReflectionInfo(iter([request]))
    answers = [answer async for answer in stream]
    return [service.name for service in answers[0].list_services_response.service]


async def test_reflection_is_there_where_asked_for(keys):
    async with serving(keys, [echo_registration(EchoServicer())], reflect=True) as world:
        assert "clinic.tests.v1.EchoService" in await reflected(world)


async def test_reflection_is_off_otherwise(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        error = await failure(reflected(world))

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def silent(self, request, context): ...


def never_started(keys, registrations, **options):
    return serving(keys, registrations, **options).__aenter__()


async def test_a_method_without_roles_keeps_the_server_from_starting(keys):
    servicer = servicer_of(echo_pb2_grpc.NobodyServiceServicer, Unary=silent)
    nobody = registration(echo_pb2_grpc.add_NobodyServiceServicer_to_server, servicer)

    with pytest.raises(RefusedToStart, match=r"NobodyService\.Unary does not say which roles"):
        await never_started(keys, [nobody])


async def test_a_method_for_services_that_names_none_keeps_the_server_from_starting(keys):
    servicer = servicer_of(echo_pb2_grpc.AnyServiceServiceServicer, Unary=silent)
    any_ = registration(echo_pb2_grpc.add_AnyServiceServiceServicer_to_server, servicer)

    with pytest.raises(RefusedToStart, match="must name services"):
        await never_started(keys, [any_])


async def test_a_method_that_would_need_a_thread_keeps_the_server_from_starting(keys):
    def blocking(self, request, context): ...

    servicer = servicer_of(echo_pb2_grpc.EchoServiceServicer, Unary=blocking)

    with pytest.raises(RefusedToStart, match="must be async"):
        await never_started(keys, [echo_registration(servicer)])


async def test_an_address_that_is_taken_keeps_the_server_from_starting(keys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(RefusedToStart, match=f"{address} cannot be listened on"):
            await never_started(keys, [], address=address)


async def test_two_processes_may_share_a_port(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        address = f"127.0.0.1:{world.built.port}"

        async with serving(keys, [echo_registration(EchoServicer())], address=address) as other:
            assert other.built.port == world.built.port


def test_what_the_contract_allows_is_read_from_it():
    assert allowed("clinic.tests.v1.EchoService.Unary").roles == {Role.STAFF, Role.SERVICE}
    assert allowed("clinic.tests.v1.EchoService.Unary").services == {"export"}


def test_unimplemented_methods_are_listed():
    half = servicer_of(echo_pb2_grpc.EchoServiceServicer, Unary=silent)

    assert unimplemented_methods(half) == ("Both", "Down", "Later", "Up")
    assert unimplemented_methods(EchoServicer()) == ("Later",)


async def test_a_request_that_is_too_large_is_refused(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        metadata = bearer(keys.person())
        fits = echo_pb2.EchoRequest(text="x" * (REQUEST_BYTES - 10))
        await world.echo.Unary(fits, metadata=metadata)
        large = echo_pb2.EchoRequest(text="x" * REQUEST_BYTES)
        error = await failure(world.echo.Unary(large, metadata=metadata))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_answer_that_is_too_large_is_refused(keys):
    async def large(request, context):
        return echo_pb2.EchoResponse(text="x" * RESPONSE_BYTES)

    async with serving(keys, [echo_registration(EchoServicer(large))]) as world:
        error = await failure(world.echo.Unary(REQUEST, metadata=bearer(keys.person())))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_that_are_too_large_are_refused(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        metadata = bearer(keys.person(), x_large="x" * 9_000)
        error = await failure(world.echo.Unary(REQUEST, metadata=metadata))

    assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)


class Gate:
    """Lets nobody through until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, request, context):
        self.waiting += 1
        await self.open.wait()
        return await echo(request, context)

    async def crowd(self, count: int) -> bool:
        return self.waiting == count


async def test_too_many_calls_are_turned_away_and_told_when_to_come_back(keys):
    gate = Gate()
    admission = Admission(unary=2)
    servicer = echo_registration(EchoServicer(gate))
    async with serving(keys, [servicer], admission=admission) as world:
        metadata = bearer(keys.person())
        first = [world.echo.Unary(REQUEST, metadata=metadata) for _ in range(2)]
        await eventually(lambda: gate.crowd(2))
        error = await failure(world.echo.Unary(REQUEST, metadata=metadata))
        in_flight = exposition()
        gate.open.set()
        answers = [(await call).text for call in first]
        again = await world.echo.Unary(REQUEST, metadata=metadata)

    assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    retry = RetryInfo()
    status = Status.FromString(dict(error.trailing_metadata() or ())[DETAILS_KEY])
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToTimedelta() > timedelta(0)
    assert (answers, again.text) == (["x", "x"], "x")
    assert b'clinic_rpc_in_flight{method="EchoService/Unary"} 2.0' in in_flight


async def test_streams_do_not_take_the_places_of_calls(keys):
    admission = Admission(unary=1, streams=1)
    servicer = echo_registration(EchoServicer())
    async with serving(keys, [servicer], admission=admission) as world:
        metadata = bearer(keys.person())
        stream = world.echo.Down(REQUEST, metadata=metadata)
        await stream.read()
        answer = await world.echo.Unary(REQUEST, metadata=metadata)
        error = await failure(world.echo.Down(REQUEST, metadata=metadata).read())
        stream.cancel()

    assert answer.text == "x"
    assert reason(error) == "OVERLOADED"


async def test_calls_are_counted_by_method_and_code(keys):
    async def lost(request, context):
        raise KeyError

    async with serving(keys, [echo_registration(EchoServicer(lost))]) as world:
        before = exposition().decode()
        await failure(world.echo.Unary(REQUEST, metadata=bearer(keys.person())))

    series = 'clinic_rpc_handled_total{code="INTERNAL",method="EchoService/Unary"}'
    assert counted(exposition().decode(), series) == counted(before, series) + 1


def counted(text: str, series: str) -> float:
    rows = (line.rpartition(" ") for line in text.splitlines())
    return sum(float(value) for name, _, value in rows if name == series)


def certificates(folder, name: str, issuer=None) -> tuple[Tls, object]:
    """A certificate for 127.0.0.1, of an authority or self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer, signing_name = issuer or (key, subject)
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signing_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signer, SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Tls(*paths, authority=None), (key, subject)


async def test_with_an_authority_both_sides_prove_who_they_are(keys, tmp_path):
    authority, issuer = certificates(tmp_path, "authority")
    ours, _ = certificates(tmp_path, "ours", issuer)
    stranger, _ = certificates(tmp_path, "stranger")
    trusting = Tls(ours.certificate, ours.key, authority.certificate)
    strange = Tls(stranger.certificate, stranger.key, authority.certificate)

    async with serving(keys, [echo_registration(EchoServicer())], tls=trusting) as world:
        metadata = bearer(keys.person(sub=str(uuid4())))
        target = f"127.0.0.1:{world.built.port}"
        async with open_channel(target, tls=trusting) as channel:
            stub = echo_pb2_grpc.EchoServiceStub(channel)
            answer = await stub.Unary(REQUEST, metadata=metadata)
        async with open_channel(target, tls=strange) as channel:
            stub = echo_pb2_grpc.EchoServiceStub(channel)
            refused = await failure(stub.Unary(REQUEST, metadata=metadata, timeout=5))
        plain = await failure(world.echo.Unary(REQUEST, metadata=metadata, timeout=5))

    assert answer.text == "x"
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert plain.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_taken_without_a_restart(keys, tmp_path):
    served, _ = certificates(tmp_path, "served")
    renewed, _ = certificates(tmp_path, "renewed")
    first = served.certificate.read_bytes()

    async with serving(keys, [echo_registration(EchoServicer())], tls=served) as world:

        async def shown():
            address = ("127.0.0.1", world.built.port)
            return (await asyncio.to_thread(ssl.get_server_certificate, address)).encode()

        assert await shown() == first
        served.certificate.write_bytes(renewed.certificate.read_bytes())
        assert await shown() == first  # half of a renewal is none
        served.key.write_bytes(renewed.key.read_bytes())
        assert await shown() == renewed.certificate.read_bytes()
        served.key.unlink()
        assert await shown() == renewed.certificate.read_bytes()
