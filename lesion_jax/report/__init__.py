"""What people look at: overlays, pages, curves, tables and model cards.

  overlay.py   lesion contours on a photograph            page.py      a page of held-out examples
  curves.py    training curves, confusion matrix          scores.py    precision against recall, reliability
  terminal.py  a report as aligned text                   card.py      the Markdown card of a bundle
  result.py    the files of one predicted photograph      run.py       the files of an evaluation
"""
