"""The keys of a configuration with the comments that stand beside them, read from the source of configs/common.py."""

from __future__ import annotations

import ast
import io
import itertools
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

STAGES = ('segment', 'classify', 'grade', 'landmarks')


class Key(NamedTuple):
  """One key.

  Attributes:
    name: with dots, 'STAGE.data.size' where every stage has it alike.
    value: the default, as the source writes it.
    comment: its lines: those above the key and what stands behind it.
  """

  name: str
  value: str
  comment: tuple[str, ...]


def describe_keys(source: str) -> list[Key]:
  """Returns the keys of the configuration that `get_config` of a source makes, in their order.

  Args:
    source: assigns `config.NAME`, `config.STAGE` and keys of a stage, each a value, a dictionary (in `ConfigDict(...)` or
      not) or a function without arguments that returns one.

  Raises:
    SyntaxError: it is no Python.
    KeyError: it has no function get_config.
  """
  reader = _Reader(source)
  found: dict[str, Key] = {}
  for key in reader.assigned('get_config'):
    first, _, rest = key.name.partition('.')
    common = key._replace(name=f'STAGE.{rest}') if first in STAGES and rest not in reader.own else key
    found.setdefault(common.name, common)
  return list(found.values())


class _Reader:
  """A source, its functions and its comments by line."""

  def __init__(self, source: str) -> None:
    self._source = source
    self._functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    self._comments: dict[int, str] = {}
    self._alone: set[int] = set()  # lines of a comment alone
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
      if token.type == tokenize.COMMENT:
        line = token.start[0]
        self._comments[line] = token.string.lstrip('# ')
        if token.line.lstrip().startswith('#'):
          self._alone.add(line)
    self.own: set[str] = set()  # keys that stages have one by one

  def assigned(self, function: str) -> Iterator[Key]:
    """Yields the keys of the assignments `config.KEY = VALUE`."""
    for node in self._functions[function].body:
      if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
        name = ast.unparse(node.targets[0]).partition('.')[2]
        keys = list(self._keys(name, node.value, node.targets[0]))
        if '.' in name:
          self.own |= {key.name.partition('.')[2] for key in keys if self._is_in(key, node)}
        yield from keys

  def _is_in(self, key: Key, node: ast.stmt) -> bool:
    """Whether a key is written in a statement itself, and not in a function that it calls."""
    last = key.name.rpartition('.')[2]
    own = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
    return last in own or (isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call))

  def _keys(self, name: str, value: ast.expr, at: ast.expr) -> Iterator[Key]:
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
      if value.func.id in self._functions:
        value = next(node.value for node in self._functions[value.func.id].body if isinstance(node, ast.Return) and node.value)
      elif value.args:
        value = value.args[0]  # ConfigDict(...)
      else:
        break
    if not isinstance(value, ast.Dict):
      yield Key(name, ast.unparse(value), tuple(self._comment(at.lineno, value.end_lineno or at.lineno)))
      return
    for key, item in zip(value.keys, value.values, strict=True):
      if key is None:
        yield from self._keys(name, item, item)  # **fields()
      else:
        yield from self._keys(f'{name}.{ast.literal_eval(key)}', item, key)

  def _comment(self, first: int, last: int) -> list[str]:
    above = list(itertools.takewhile(self._alone.__contains__, range(first - 1, 0, -1)))[::-1]
    return [self._comments[line] for line in above] + [self._comments[line] for line in range(first, last + 1) if line in self._comments]
