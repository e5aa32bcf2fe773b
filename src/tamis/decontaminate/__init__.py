"""Decontamination: evaluation items found again in documents, with what was found where and how much of it.

`items` reads evaluation sets into one file, `index` makes that file searchable, `search` scores the items in a text,
`window` cuts them out in GPT-3's way.
"""
