"""A file of the package index, fetched as pip would fetch it: same indexes and mirrors, certificates and proxy, but nothing of it is run.

``pip download`` runs the setup.py of a source distribution to learn its name.
"""

from __future__ import annotations

import ast
import base64
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from a2po.errors import UserError, WorkFailed

PUBLIC_INDEX = "https://pypi.org/simple"


def fetch(project: str, name: str, sha256: str, target: Path, read_hash: Callable[[Path], str]) -> str:
    """Write the file ``name`` of ``project`` to ``target``; gives where it came from.

    Raises:
        UserError: the certificate that pip is told of is missing.
        WorkFailed: no index gives it with this hash.
    """
    told = pip_settings()
    opener, timeout = _opener(told), float(told.get("timeout", told.get("default-timeout", "60")))
    reasons = []
    for place, find in _places(told, project, name, opener, timeout):
        try:
            url = find()
            with opener.open(_request(url), timeout=timeout) as answer, target.open("wb") as file:
                while block := answer.read(1 << 20):
                    file.write(block)
        except (URLError, LookupError, TimeoutError, ConnectionError, ssl.SSLError, HTTPException, ValueError) as error:
            reasons.append(f"{_shown(place)}: {_words(error)}")
            continue
        found = read_hash(target)
        if found == sha256:
            return _shown(url)
        target.unlink()
        reasons.append(f"{_shown(place)}: what it gives has the SHA-256 {found[:16]}... instead of {sha256[:16]}...")
    raise WorkFailed(f"{name} could not be fetched ({'; '.join(reasons) or 'no index is configured'})")


def pip_settings() -> dict[str, str]:
    """What pip was told by its files and by the environment: ``{"index-url": ..., "cert": ..., "proxy": ...}``."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, "download": {}}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in sections:
            sections[section][key] = str(ast.literal_eval(value))
    given = {key.removeprefix("PIP_").lower().replace("_", "-"): value for key, value in os.environ.items() if key.startswith("PIP_")}
    return {key: value for part in (*sections.values(), given) for key, value in part.items() if value}  # as pip does, none for empty


def _places(
    told: dict[str, str], project: str, name: str, opener: OpenerDirector, timeout: float
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Where the file may lie, and how its address is found there."""
    for link in told.get("find-links", "").split():
        folder = Path(unquote(urlsplit(link).path)) if link.startswith("file:") else Path(link)
        if (folder / name).is_file():
            yield link, (folder / name).absolute().as_uri
    if told.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return
    for index in (told.get("index-url", PUBLIC_INDEX), *told.get("extra-index-url", "").split()):
        page = f"{index.rstrip('/')}/{project}/"

        def find(page: str = page) -> str:
            with opener.open(_request(page), timeout=timeout) as answer:
                links = _Links(answer.geturl())
                links.feed(answer.read().decode("utf-8", "replace"))
            if name not in links.found:
                raise LookupError(f"it has no {name}")
            return _with_login(links.found[name], page)

        yield index, find


class _Links(HTMLParser):
    """The addresses on a page of the index, by file name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._page = page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what ``tag`` points at, if it is a link; ``attrs`` are its attributes."""
        address = dict(attrs).get("href")
        if tag == "a" and address:
            address = urljoin(self._page, address)
            self.found[unquote(urlsplit(address).path.rpartition("/")[2])] = address


def _opener(told: dict[str, str]) -> OpenerDirector:
    cert = told.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE")
    if cert and not os.path.exists(cert):
        raise UserError(f"pip is told of the certificate '{cert}', which is not there: see `pip config list` and REQUESTS_CA_BUNDLE")
    folder = cert if cert and os.path.isdir(cert) else None
    context = ssl.create_default_context(cafile=None if folder else cert, capath=folder)
    proxies = {"http": told["proxy"], "https": told["proxy"]} if told.get("proxy") else None
    return build_opener(ProxyHandler(proxies), HTTPSHandler(context=context))


def _request(url: str) -> Request:
    """A request; a login that stands in the address goes where it belongs."""
    parts = urlsplit(url)
    headers = {"Accept": "text/html,*/*", "User-Agent": "a2po"}
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")), headers=headers)


def _with_login(url: str, page: str) -> str:
    """The address of a file on the same host as its page is asked for with the page's login."""
    parts, source = urlsplit(url), urlsplit(page)
    same = parts.hostname == source.hostname and not parts.username
    return urlunsplit(parts._replace(netloc=source.netloc)) if same and source.username else url


def _shown(url: str) -> str:
    """An address without its login."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _words(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"{error.code} {error.reason}"
    reason = error.reason if isinstance(error, URLError) else error
    return str(getattr(reason, "verify_message", None) or getattr(reason, "strerror", None) or reason).strip("'\"")
