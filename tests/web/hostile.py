"""Text that a page must show and never obey."""

HOSTILE = [
    "<script>window.ran = 1</script>",
    "</pre></main><script>window.ran = 2</script>",
    "<img src=https://evil.example/x.png onerror='window.ran = 3'>",
    "\"><svg onload=window.ran=4> ' onmouseover='window.ran=5",
    "<style>body{display:none}</style><link rel=stylesheet href=https://evil.example/x.css>",
    "<iframe src=https://evil.example/></iframe><base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "{{ 7 * 7 }} {% raise %} ${7*7} [x](javascript:window.ran=7)",
    "bidi \u202e reversed \u2066 isolate \u200f mark \ufeff end",
    "w" * 900,
    "line\r\nother\rthird\ttab \x00\x08 \U000e0041",
]
