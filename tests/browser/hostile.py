"""Texts that a data set may hold and that no page may obey: each must be shown as it is, run nothing and break nothing."""

from __future__ import annotations

__all__ = ["HOSTILE", "SIGNAL"]

#: What a text that ran would ask for: a request, a dialog and a change of the page's title.
SIGNAL = "http://127.0.0.1:9/ran"
_RUN = f"fetch('{SIGNAL}');parent.document.title=document.title='ran';alert(1)"

HOSTILE: dict[str, str] = {
    "closing script": f"</script><script>{_RUN}</script>",
    "closing script, odd case": f"</ScRiPt\n><script>{_RUN}</script>",
    "image": f'<img src=x onerror="{_RUN}">',
    "svg": f"<svg onload=\"{_RUN}\"><a xlink:href='javascript:{_RUN}'>x</a></svg>",
    "frame": f'<iframe srcdoc="<script>{_RUN}</script>"></iframe>',
    "style": f"</style></main><style>@import '{SIGNAL}';*{{display:none}}</style>",
    "comment": "<!-- <script> --> <!--",
    "attribute": f'" autofocus onfocus="{_RUN}" x="',
    "quote": f"';{_RUN}//",
    "line end": f"\\';{_RUN}//\\\\",
    "template marks": "{{record.fields}} {{#each record}}{{this}}{{/each}} ${alert(1)} <%= 1 %> [[x]]",
    "markdown": f"![x]({SIGNAL}) [x](javascript:{_RUN}) <{SIGNAL}>",
    "dollars": "$$ $& $` $' $1 $<name> $$y$$",
    "argilla's own marks": f"#RECORD_OBJECT# #TEMPLATE# /*FACTS*/null </script><script>{_RUN}</script>",
    "separators": "one\u2028two\u2029three\x85four\x0bfive\x0csix",
    "nul": "a\x00b\x01c\x1b[31md\x7f\x9b",
    "lone surrogates": "a\ud800b\udfffc",
    "private use": "\ue000\ue03c\uf8ff\U000f0000\U0010ffff",
    "our own encoding": "\u241b\u283c \u241b\u241b\u2824\u281b \u241b\u241b\u241b\u2801\u28f6\u2800 \u2800\u28ff",
    "directions": "abc\u202eevil\u202c \u2066x\u2069 \u200f\ufeff\u200b",
    "combining": "Z" + "\u0351\u0362\u0334" * 200,
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 𝕏",
    "json": '{"fields": null}, "x": [1, 2',
    "prototype": "__proto__ constructor toString",
    "fence": "```</script>\n<script>" + _RUN + "</script>\n```",
    "table": f"| a | <img src=x onerror={_RUN}> |\n|---|---|\n| $& | </script> |",
    "a long line": "x" * 100_000,
    "long lines": ("<b>" + "y " * 500 + "\n") * 100,
    "many lines": "\n" * 5_000 + "end",
    "empty": "",
    "blank": " \n\t ",
}
