"""Audits: how good are decisions about duplicates and contamination? People judge a sample, an estimate comes back.

`frame` lists the decisions of a corpus by strata, `sample` draws and writes examples, `estimate` turns verdicts into
precision and recall with intervals, `contaminated` counts per evaluation item instead of per document.
"""
