"""Small pieces of the page: escaped text, numbers, bars, swatches, tables."""

from __future__ import annotations

import html
import importlib.resources
import string
from collections.abc import Iterable, Sequence


def escape(text: object) -> str:
  """Escapes text for the page, also inside of quotes."""
  return html.escape(str(text), quote=True)


def template(name: str) -> string.Template:
  """Returns a file of `templates/`, to be filled with HTML that is escaped already."""
  return string.Template(read(name))


def read(name: str) -> str:
  """Returns the text of a file of `templates/`."""
  return (importlib.resources.files('lesion_jax.report') / 'templates' / name).read_text('utf-8')


def bar(value: float, mark: float | None = None) -> str:
  """Returns a bar for 0..1, with a tick at `mark`; beside it stands the number, so readers of screens skip it."""
  tick = '' if mark is None else f'<path class="tick" d="M{100 * mark:.4g} -1V11"/>'
  return (f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" '
          f'width="100" height="10"/><rect class="value" width="{100 * value:.4g}" height="10"/>{tick}</svg>')


def swatch(key: str) -> str:
  """Returns the colour of a lesion's outline."""
  return (f'<svg class="swatch {escape(key)}" viewBox="0 0 16 16" aria-hidden="true">'
          '<rect x="3" y="3" width="10" height="10"/></svg>')


def chip(key: str) -> str:
  """Returns a lesion's key beside its colour."""
  return f'<span class="chip">{swatch(key)}{escape(key)}</span>'


def badge(text: str, kind: str) -> str:
  """Returns a short word that stands out; `kind` is a class of the style sheet."""
  return f'<span class="badge {kind}">{escape(text)}</span>'


def share(value: float) -> str:
  """Returns a part of the field of view as per cent, two digits that mean something."""
  percent = 100 * value
  if 0 < percent < 0.001:
    return '&lt;&nbsp;0.001&nbsp;%'
  return f'{percent:.1f}&nbsp;%' if percent >= 1 else f'{percent:.2g}&nbsp;%'


def probability(value: float) -> str:
  """Returns a probability with two digits; none is rounded to what is impossible or certain."""
  return '&lt;&nbsp;0.01' if value < 0.005 else '&gt;&nbsp;0.99' if value >= 0.995 else f'{value:.2f}'


def count(value: int) -> str:
  """Returns a whole number, thousands apart."""
  return f'{value:,}'.replace(',', '&#8239;')


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = '', kind: str = '') -> str:
  """Returns a table of cells that are HTML already; the first cell of a row names it."""
  head = ''.join(f'<th scope="col">{cell}</th>' for cell in header)
  body = ''.join(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
                 for first, *cells in rows)
  title = f'<caption>{caption}</caption>' if caption else ''
  return f'<table class="{kind}">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def items(sentences: Sequence[str], kind: str) -> str:
  """Returns a list of sentences, or nothing."""
  return f'<ul class="{kind}">{"".join(f"<li>{escape(text)}</li>" for text in sentences)}</ul>' if sentences else ''
