"""What people look at: overlays, pages, curves, tables, model cards, and the results of `lesion-jax predict`.

  overlay.py   lesion contours on a photograph            page.py      a page of held-out examples
  curves.py    training curves, confusion matrix          scores.py    precision against recall, reliability
  terminal.py  a report as aligned text                   card.py      the Markdown card of a bundle
  run.py       the files of an evaluation         markdown.py  tables in Markdown

Of predicted photographs:

  result.py    all files of one photograph                table.py     results.csv
  outlines.py  masks and outlines as large as it
  html.py      report.html; its parts are html_*.py and the files in templates/   whose.py     whose eye a photograph shows
"""
