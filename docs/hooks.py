"""What `mkdocs build` is told beside mkdocs.yml: files of the project to which pages lead are part of the site too, and notebooks
are pages."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / 'docs'
_LINK = re.compile(r'(\]\()([^)\s#]+)(#[^)\s]*)?(\))')


def on_files(files: Files, *, config: Any) -> Files:
  """Adds what pages lead to outside docs/, and what those lead to, at their paths in the project."""
  waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
  seen = set(waiting)
  while waiting:
    page = waiting.pop()
    for _, target, _, _ in _LINK.findall(page.read_text('utf-8')):
      path = (page.parent / target).resolve()
      if re.match(r'\w+:', target) or path in seen or not path.is_file() or path.is_relative_to(DOCS):
        continue
      seen.add(path)
      files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
      if path.suffix == '.md':
        waiting.append(path)
  for path in sorted((DOCS / 'notebooks').glob('*.ipynb')):
    files.append(File.generated(config, path.relative_to(DOCS).with_suffix('.md').as_posix(), content=as_markdown(path)))
  return files


def as_markdown(notebook: pathlib.Path) -> str:
  """The cells of a notebook, which has no outputs, with a link to the file at the end."""
  parts = []
  for cell in json.loads(notebook.read_text('utf-8'))['cells']:
    text = ''.join(cell['source'])
    parts.append(text if cell['cell_type'] == 'markdown' else f'```python\n{text}\n```')
  return '\n\n'.join([*parts, f'The notebook itself: <a href="{notebook.name}" download>{notebook.name}</a>.']) + '\n'


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
  """Leads the links of a page to where files lie in the site: those of docs/ at its root."""
  del config, files
  source = pathlib.Path(page.file.abs_src_path or DOCS / page.file.src_uri)  # without a file it is of a notebook
  here = pathlib.PurePosixPath(page.file.src_uri).parent

  def turned(found: re.Match[str]) -> str:
    before, target, anchor, behind = found.groups(default='')
    path = (source.parent / target).resolve()
    if re.match(r'\w+:', target) or not path.exists():
      return found[0]
    path = path.with_suffix('.md') if path.suffix == '.ipynb' else path
    place = path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
    return f'{before}{os.path.relpath(place, here).replace(os.sep, "/")}{anchor}{behind}'

  return _LINK.sub(turned, markdown)
