"""Who may ask. A service on this machine alone is still within reach of every page that its user opens in a browser.

Such a page may send requests here (a form, an image, `fetch`), and with a name of its own that leads to 127.0.0.1 (DNS
rebinding) it could read the answers. So a request has to come by a name of the service (Host), and where a browser says which
page it comes from (Origin, Sec-Fetch-Site) that has to be the service's own. There is no CORS: no other page gets an answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import urllib.parse
from collections.abc import Mapping

from lesion_jax.serve.settings import LOOPBACK, Settings
from lesion_jax.serve.upload import Refusal

OPEN = ('/healthz', '/readyz')  # without a token: who starts and stops the service asks these
DEFAULT_PORTS = (':80', ':443')
CHALLENGE = 'Basic realm="lesion_jax", charset="UTF-8", Bearer realm="lesion_jax"'


class Guard:
  """Looks at the headers of a request.

  Args:
    settings: of the service.
  """

  def __init__(self, settings: Settings) -> None:
    # No other site has a name of this machine's own; whoever looks after a container asks by one.
    self._hosts = {_without_port(name.lower()) for name in settings.hosts} | {settings.host.lower(), *LOOPBACK}
    self._any = not settings.is_local and not settings.hosts
    self._origins = {name.lower() for name in settings.hosts}
    self._token = None if settings.token is None else _digest(settings.token)

  def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
    """Raises Refusal where a request may not be done.

    Args:
      method: of HTTP.
      path: that is asked for.
      headers: by names in small letters.
    """
    if 'content-length' in headers and 'transfer-encoding' in headers:  # what one side takes for a body is a request to another
      raise Refusal(400, 'length', 'Content-Length and Transfer-Encoding say two things about where the request ends; send one of them')
    host = headers.get('host', '').strip().lower()
    if not self._any and _without_port(host) not in self._hosts:
      raise Refusal(421, 'host', 'this service is not known by the name in the header Host; ask it by 127.0.0.1 or localhost, or start it '
                    'with --allowed-host NAME')
    self._check_origin(method, host, headers)
    if self._token is not None and path not in OPEN and not self._is_known(headers.get('authorization', '')):
      raise Refusal(401, 'token', 'this takes the token of the service: Authorization: Bearer TOKEN, or as the password in a browser')

  def _check_origin(self, method: str, host: str, headers: Mapping[str, str]) -> None:
    origin = headers.get('origin')
    if origin is not None and not self._is_own(origin.strip().lower(), host):
      raise Refusal(403, 'origin', 'this request comes from a page of another site, which may not use this service')
    site = headers.get('sec-fetch-site', 'none')
    followed = method == 'GET' and headers.get('sec-fetch-mode') == 'navigate' and headers.get('sec-fetch-dest') == 'document'
    if origin is None and site not in ('none', 'same-origin') and not followed:
      raise Refusal(403, 'origin', 'this request comes from a page of another site, which may not use this service')

  def _is_own(self, origin: str, host: str) -> bool:
    """Whether an origin (scheme://host:port) is that of the service, by the name under which it was asked, or one that it was
    given. The scheme may be that of a proxy in front."""
    try:
      found = urllib.parse.urlsplit(origin)
    except ValueError:
      return False
    if found.scheme not in ('http', 'https') or not found.netloc or found.path or found.query:
      return False
    return _plain(found.netloc) == _plain(host) or found.netloc in self._origins or _plain(found.netloc) in self._origins

  def _is_known(self, given: str) -> bool:
    scheme, _, said = given.partition(' ')
    if scheme.lower() == 'basic':
      try:
        said = base64.b64decode(said.strip(), validate=True).decode('utf-8').partition(':')[2]
      except (binascii.Error, ValueError):
        said = ''
    elif scheme.lower() != 'bearer':
      said = ''
    # Digests are of one length, so that the time says nothing of the token's either.
    return hmac.compare_digest(_digest(said.strip()), self._token or b'')


def _digest(text: str) -> bytes:
  return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()


def _without_port(host: str) -> str:
  """'[::1]:8000' -> '::1'."""
  if host.startswith('['):
    return host[1:].partition(']')[0]
  return host.partition(':')[0] if host.count(':') == 1 else host


def _plain(netloc: str) -> str:
  for port in DEFAULT_PORTS:
    netloc = netloc.removesuffix(port)
  return netloc
