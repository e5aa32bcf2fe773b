from xml.etree import ElementTree

from tamis.web.charts import Estimate, confusion, forest, over_time
from web.hostile import HOSTILE


def test_plots_are_well_formed_whatever_the_names() -> None:
    names = [text.replace("\x00", "") for text in HOSTILE]
    points = [
        Estimate(name, None if n == 2 else n / 12, max(0, n / 12 - 0.2), n / 12 + 0.1, n)
        for n, name in enumerate(names)
    ]
    counts = [[float(a * b % 7) for a in range(len(names))] for b in range(len(names))]
    drawn = [
        over_time(points, "A & B"),
        over_time([], "none"),
        over_time([Estimate("x", None)], "none"),
        over_time([Estimate("x", -0.4, -0.9, 0.1, 3)], "below zero"),
        forest(points, "forest", [(0.5, "<limit>")]),
        forest([], "none"),
        confusion(names, counts, "c", "rows", "columns"),
        confusion(["a"], [[0.0]], "c", "rows", "columns"),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(str(svg))
        assert root.attrib["role"] == "img"
        assert not [one for one in root.iter() if "style" in one.attrib or one.tag.endswith("script")]


def test_an_undefined_value_says_so() -> None:
    assert "undefined" in forest([Estimate("ann", None)], "f")
    assert forest([Estimate("ann", 0.5, 0.25, 0.75, 9)], "f").count("0.50  0.25 to 0.75, n 9") == 1
