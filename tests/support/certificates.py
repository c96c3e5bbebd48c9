"""Creates certificates with openssl, as an operator does."""

import subprocess
from pathlib import Path

AUTHORITY = "critical,keyCertSign,cRLSign"
SERVER = "DNS:localhost,IP:127.0.0.1"
CLIENT_NAMES = (
    "scraper.example",
    "scraper@example.com",
    "spiffe://example.com/scraper",
    "192.0.2.7",
    "2001:db8::7",
)
CLIENT = "DNS:scraper.example,email:scraper@example.com,URI:spiffe://example.com/scraper,IP:192.0.2.7,IP:2001:db8::7"


def make_certificates(folder: Path) -> None:
    """`NAME.pem` and `NAME.key`: authorities, one of them lax, servers and clients."""
    _make(folder, "ca", usage=AUTHORITY)
    _make(folder, "strange-ca", usage=AUTHORITY)
    _make(folder, "lax-ca")
    _make(folder, "lax-server", signed_by="lax-ca", names=SERVER)
    _make(folder, "server", signed_by="ca", names=SERVER)
    _make(folder, "next-server", signed_by="ca", names=SERVER)
    _make(folder, "rsa-server", signed_by="ca", names=SERVER, key="rsa:2048")
    _make(folder, "client", signed_by="ca", names=CLIENT)
    _make(folder, "other-client", signed_by="ca", names="DNS:other.example")
    _make(folder, "strange-client", signed_by="strange-ca", names=CLIENT)
    encrypt = ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret"]
    _run([*encrypt, "-in", str(folder / "server.key"), "-out", str(folder / "encrypted.key")])


def _make(
    folder: Path,
    name: str,
    signed_by: str | None = None,
    names: str = "",
    key: str = "ec",
    usage: str = "",
) -> None:
    curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else []
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        key,
        *curve,
        "-nodes",
        "-days",
        "30",
        "-subj",
        f"/CN={name}",
    ]
    command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
    if signed_by:
        command += ["-CA", str(folder / f"{signed_by}.pem"), "-CAkey", str(folder / f"{signed_by}.key")]
        command += ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"subjectAltName={names}"]
    if usage:
        command += ["-addext", f"keyUsage={usage}"]
    _run(command)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
