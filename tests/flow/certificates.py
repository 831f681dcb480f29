"""A certificate authority of a test's own, for the links between programs, Kafka and PostgreSQL. Not
for production: its keys lie unencrypted in a temporary folder and live for a day."""

import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]


class Authority:
    """`certificate` is the file that its friends trust."""

    def __init__(self, folder, name="test authority"):
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        openssl("req", "-x509", *KEY, "-subj", f"/CN={name}", "-keyout", self._key,
                "-out", self.certificate)

    def issue(self, name, *addresses):
        """(certificate, key): two files. `addresses` as "DNS:localhost" or "IP:127.0.0.1": whom a
        server may say it is; without any it is a client's. A name is issued once."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if certificate.exists():
            return certificate, key
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text("basicConstraints=CA:FALSE\n" + (
            f"subjectAltName={','.join(addresses)}\n" if addresses else ""), encoding="utf-8")
        openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
                "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", certificate)
        return certificate, key


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
