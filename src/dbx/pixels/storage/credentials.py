"""Finding out how a bucket may be read: credentials, region and endpoint, or no credentials at all."""

from __future__ import annotations

import configparser
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dbx.pixels.storage.paths import scheme_of

#: Variables with these beginnings decide how stores are reached; obstore and deltalake read them as well.
VARIABLES = ("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "IDENTITY_", "MSI_")

_METADATA_HOST = "169.254.169.254"
_METADATA_SECONDS = 0.5
_REGION_SECONDS = 3
_AWS_S3 = "https://s3.amazonaws.com"


@dataclass(frozen=True)
class Access:
    """How a bucket is read.

    Attributes
    ----------
    options : mapping of str to str
        What the environment does not say already, under the names that obstore and deltalake share.
    is_anon : bool
        Whether requests go out unsigned.
    provider : callable, optional
        Returns credentials that expire, when asked.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    is_anon: bool = False
    provider: Callable[[], Any] | None = None

    @property
    def allow_http(self) -> bool:
        """Whether the endpoint was asked for without TLS."""
        return self.options.get("allow_http") == "true"


def find_access(bucket_url: str) -> Access:
    """Find credentials for a bucket as the tools of its cloud do; without any, it is read anonymously."""
    scheme = scheme_of(bucket_url)
    if scheme == "s3":
        return _find_s3(bucket_url)
    return _find_gcs() if scheme == "gs" else _find_azure()


def anonymous(bucket_url: str, access: Access) -> Access:
    """Return the same access without credentials."""
    names = {"s3": "aws_skip_signature", "gs": "google_skip_signature"}
    name = names.get(scheme_of(bucket_url), "azure_skip_signature")
    return Access({**access.options, name: "true"}, is_anon=True)


def _find_s3(bucket_url: str) -> Access:
    profile = _aws_profile()
    endpoint = _any_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") or profile.get("endpoint_url", "")
    region = "" if endpoint else _bucket_region(bucket_url.partition("://")[2])
    region = region or _any_of("AWS_REGION", "AWS_DEFAULT_REGION") or profile.get("region", "us-east-1")
    options = {"aws_region": region, **({"aws_endpoint": endpoint} if endpoint else {}), **_without_tls(endpoint)}
    access = Access(options)
    if _is_set("AWS_SKIP_SIGNATURE"):
        return anonymous(bucket_url, access)
    if _any_of(
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ):
        return access
    keys = {
        name: profile[name]
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        if name in profile
    }
    if "aws_access_key_id" in keys:
        return Access({**options, **keys})
    if provider := _boto_provider():
        return Access(options, provider=provider)
    return access if _has_aws_role() else anonymous(bucket_url, access)


def _aws_profile() -> Mapping[str, str]:
    """Read the chosen profile from the two files that the tools of AWS share."""
    name = os.environ.get("AWS_PROFILE", "default")
    files = configparser.RawConfigParser()
    try:
        files.read(Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")).expanduser())
        files.read(Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser())
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    profile: dict[str, str] = {}
    for section in (f"profile {name}", name):
        profile |= dict(files[section]) if files.has_section(section) else {}
    return profile


def _boto_provider() -> Callable[[], Any] | None:
    """Return what boto3 finds where it is installed: single sign-on, assumed roles, credential processes."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return None
    try:
        return Boto3CredentialProvider()
    except Exception:  # boto3 raises dozens of types for a broken configuration; anonymous access may still do
        return None


@cache
def _bucket_region(bucket: str) -> str:
    """Ask AWS where a bucket lies; it tells anyone, even of a private bucket."""
    request = urllib.request.Request(f"{_AWS_S3}/{bucket}", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_REGION_SECONDS) as answer:
            return answer.headers.get("x-amz-bucket-region", "")
    except urllib.error.HTTPError as error:
        return error.headers.get("x-amz-bucket-region", "")
    except (OSError, http.client.HTTPException):
        return ""


def _find_gcs() -> Access:
    access = Access(_without_tls(_any_of("GOOGLE_BASE_URL")))
    if _is_set("GOOGLE_SKIP_SIGNATURE"):
        return anonymous("gs://", access)
    login = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    named = _any_of(
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN",
    )
    return access if named or login.exists() or _has_google_account() else anonymous("gs://", access)


def _find_azure() -> Access:
    if _is_set("AZURE_STORAGE_USE_EMULATOR"):
        return Access({"azure_storage_use_emulator": "true", "allow_http": "true"})
    access = Access(_without_tls(_any_of("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")))
    if _is_set("AZURE_SKIP_SIGNATURE"):
        return anonymous("az://", access)
    if _any_of(
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "IDENTITY_ENDPOINT",
        "MSI_ENDPOINT",
    ):
        return access
    if Path("~/.azure/azureProfile.json").expanduser().exists():  # `az login` was here
        return Access({**access.options, "azure_use_azure_cli": "true"})
    return access if _has_azure_identity() else anonymous("az://", access)


def _without_tls(endpoint: str) -> dict[str, str]:
    return {"allow_http": "true"} if endpoint.startswith("http://") else {}


def _any_of(*variables: str) -> str:
    return next((os.environ[name] for name in variables if os.environ.get(name)), "")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes")


@cache
def _has_aws_role() -> bool:
    if _is_set("AWS_EC2_METADATA_DISABLED"):
        return False
    token = _ask_metadata("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    roles = "/latest/meta-data/iam/security-credentials/"
    return bool(token and _ask_metadata("GET", roles, {"X-aws-ec2-metadata-token": token}))


@cache
def _has_google_account() -> bool:
    account = "/computeMetadata/v1/instance/service-accounts/default/email"
    return bool(_ask_metadata("GET", account, {"Metadata-Flavor": "Google"}))


@cache
def _has_azure_identity() -> bool:
    query = "api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F"
    return bool(_ask_metadata("GET", f"/metadata/identity/oauth2/token?{query}", {"Metadata": "true"}))


def _ask_metadata(method: str, path: str, headers: Mapping[str, str]) -> str:
    """Ask the metadata service that cloud machines have; other machines must not wait for it."""
    connection = http.client.HTTPConnection(_METADATA_HOST, timeout=_METADATA_SECONDS)
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.read().decode("utf-8", "replace") if answer.status == http.HTTPStatus.OK else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
