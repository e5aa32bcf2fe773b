"""A sample as one HTML page that asks, remembers, and saves a CSV of verdicts. It needs no server and no network.

All text from documents is escaped; the page's policy forbids it to load anything.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

ASKED = {
    "dedup": (
        "Is one of these texts a copy of the other, so that a reader needs only one of them?",
        "copy",
        "different",
    ),
    "decontamination": (
        "Would a model that has read this passage have seen this evaluation item?",
        "contaminated",
        "clean",
    ),
}

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem;color:#111;background:#fff}
article{border-top:1px solid #999;padding:1rem 0}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;max-height:28rem;overflow:auto;background:#f4f4f4;padding:.75rem;margin:0}
mark{background:#ffe08a}label{margin-right:1.5rem}small{color:#444}
"""

_SCRIPT = """
const key='tamis-audit-'+document.body.dataset.key;
const saved=JSON.parse(localStorage.getItem(key)||'{}');
const count=()=>{document.getElementById('count').textContent=Object.keys(saved).length};
for(const input of document.querySelectorAll('input[type=radio]')){
  if(saved[input.name]===input.value)input.checked=true;
  input.addEventListener('change',()=>{saved[input.name]=input.value;
    localStorage.setItem(key,JSON.stringify(saved));count()})}
count();
document.getElementById('save').addEventListener('click',()=>{
  const rater=document.getElementById('rater').value.replace(/[",\\n\\r]/g,' ').trim()||'me';
  const lines=['example,rater,label',...Object.entries(saved).map(([id,label])=>`${id},${rater},${label}`)];
  const link=document.createElement('a');
  link.href=URL.createObjectURL(new Blob([lines.join('\\n')+'\\n'],{type:'text/csv'}));
  link.download='verdicts.csv';link.click()});
"""


def page(kind: str, examples: Sequence[dict[str, Any]]) -> str:
    """The page for examples as `sample.examples` gives them."""
    question, yes, no = ASKED[kind]
    body = [
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\">"
        f"<title>Audit: {kind}</title><style>{_STYLE}</style>",
        f'<body data-key="{html.escape("".join(one["id"] for one in examples[:3]))}"><h1>Audit: {kind}</h1>',
        f"<p>{question}</p><p><label>Your name <input id=rater></label> <span id=count>0</span> of {len(examples)} "
        "judged <button id=save>Save verdicts.csv</button></p>",
    ]
    for number, one in enumerate(examples, 1):
        body.append(f"<article><h2>{number}</h2><div class=sides>{_sides(kind, one)}</div><p>")
        for value in (yes, no, "unsure"):
            body.append(f'<label><input type=radio name="{html.escape(one["id"])}" value={value}> {value}</label>')
        body.append("</p></article>")
    return "\n".join([*body, f"<script>{_SCRIPT}</script></body></html>\n"])


def _sides(kind: str, one: dict[str, Any]) -> str:
    if kind == "dedup":
        sides = [(one[f"{s}_url"], one[s], [piece[s] for piece in one["evidence"]]) for s in ("a", "b")]
    else:
        sides = [
            (one["url"], one["document"], [piece["document"] for piece in one["evidence"]]),
            (one["item_name"], one["item"], []),
        ]
    return "".join(
        f"<div><small>{html.escape(name or '')}</small><pre>{marked(text, spans)}</pre></div>"
        for name, text, spans in sides
    )


def marked(text: str, spans: Sequence[Sequence[int]]) -> str:
    """Escaped text with the spans (characters, sorted) marked."""
    out, at = [], 0
    for start, end in spans:
        out.append(html.escape(text[at:start]))
        out.append(f"<mark>{html.escape(text[start:end])}</mark>")
        at = end
    return "".join([*out, html.escape(text[at:])])
