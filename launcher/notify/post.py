"""POST of JSON to an address that no error names, in bounded time."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher._version import __version__


class NotDeliveredError(Exception):
    """It was not taken; `may_have_been` says whether the other side may have got it all the same."""

    def __init__(self, message: str, *, may_have_been: bool) -> None:
        super().__init__(message)
        self.may_have_been = may_have_been


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is posted goes nowhere else; urllib would make a GET of it."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def post_json(address: str, body: Mapping[str, Any], timeout_s: float) -> None:
    """Post it, by the proxy that the environment names.

    In a thread of its own: a name server that does not answer has no time limit.

    Raises:
        NotDeliveredError: it was not taken.
    """
    said: list[NotDeliveredError | None] = []

    def work() -> None:
        try:
            _post(address, body, timeout_s)
        except NotDeliveredError as error:
            said.append(error)
        else:
            said.append(None)

    worker = threading.Thread(target=work, name="notify", daemon=True)
    worker.start()
    worker.join(timeout_s + 0.5)
    if not said:
        raise NotDeliveredError(f"no answer within {several(timeout_s, 'second')}", may_have_been=True)
    if said[0] is not None:
        raise said[0]


def _post(address: str, body: Mapping[str, Any], timeout_s: float) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"curator-slurm/{__version__}"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotDeliveredError(f"the answer was HTTP {error.code}", may_have_been=False) from None
    except urllib.error.URLError as error:
        why = error.reason.strerror if isinstance(error.reason, OSError) and error.reason.strerror else "no connection"
        late = isinstance(error.reason, TimeoutError)
        raise NotDeliveredError(
            f"no answer within {several(timeout_s, 'second')}" if late else why, may_have_been=late
        ) from None
    except TimeoutError:
        raise NotDeliveredError(f"no answer within {several(timeout_s, 'second')}", may_have_been=True) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        # Not the error itself: it may have the address.
        raise NotDeliveredError(f"the answer was none of HTTP ({type(error).__name__})", may_have_been=True) from None
