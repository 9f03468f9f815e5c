"""The style sheet of the HTML export: one column, a table of contents beside it on wide screens, light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #59636e; --page: #fff; --box: #f6f8fa; --line: #d1d9e0;
  --user: #0550ae; --failed: #b42318; --good: #116329; --keyword: #a40e6a; --string: #0a3069; --comment: #59636e;
  --number: #0550ae; --name: #6639ba; --added: #dafbe1; --removed: #ffebe9 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9198a1; --page: #0d1117; --box: #161b22;
  --line: #3d444d; --user: #79c0ff; --failed: #ff8b7d; --good: #7ee787; --keyword: #ff7b9c; --string: #a5d6ff;
  --comment: #9198a1; --number: #79c0ff; --name: #d2a8ff; --added: #12361f; --removed: #4c1d1d } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 54rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.3; margin: 0 0 .5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0; font-size: .875rem }
dt { color: var(--quiet) }
dd { margin: 0; min-width: 0 }
dl.args { margin: .5rem 0; font-size: .8125rem }
dl.args dl.args { margin: 0 }
section :is(h1, h2, h3):not(.role) { font-size: 1.15rem; line-height: 1.3; margin: 1rem 0 .5rem }
dl ul { margin: 0; padding-left: 1.1rem }
header dl { margin-bottom: 1.5rem }
nav { border: 1px solid var(--line); border-radius: 6px; padding: .5rem 1rem; margin-bottom: 1.5rem; max-height: 15rem;
  overflow-y: auto; font-size: .875rem }
h2.role { font-size: .8rem; margin: 0 0 .25rem; text-transform: uppercase; letter-spacing: .05em;
  color: var(--quiet) }
nav ol { margin: 0; padding-left: 1.4rem }
nav a { display: block; padding: .15rem 0; text-decoration: none }
nav a:hover, nav a:focus { text-decoration: underline }
section { margin: 1.5rem 0; scroll-margin-top: 1rem }
h2.role time { text-transform: none; letter-spacing: 0; font-weight: normal; margin-left: .5rem }
section.user { border-left: 3px solid var(--user); padding-left: 1rem }
section.user > h2.role { color: var(--user) }
section.note { color: var(--quiet); font-size: .9rem }
.ending { color: var(--failed); font-size: .875rem }
.plain { white-space: pre-wrap; margin: .25rem 0 }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; overflow-x: auto;
  white-space: pre-wrap; font: .8125rem/1.5 ui-monospace, monospace; margin: .5rem 0 }
code { font: .875em ui-monospace, monospace; background: var(--box); padding: .1em .3em; border-radius: 4px }
pre code { background: none; padding: 0; font: inherit }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .25rem .75rem }
summary { cursor: pointer; font: .8125rem/1.8 ui-monospace, monospace }
summary span { color: var(--quiet) }
details.failed > summary, details.failed > summary span { color: var(--failed) }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; overflow-wrap: break-word }
figure { margin: 1rem 0 }
figcaption { color: var(--quiet); font-size: .8125rem }
img { max-width: 100%; background: #fff; border-radius: 6px }
a { color: inherit }
.arg { color: var(--quiet); font-size: .8125rem; margin: .5rem 0 0 }
ul.plan { list-style: none; padding: 0; margin: .25rem 0 }
ul.plan li { padding-left: 1.5rem; text-indent: -1.5rem }
ul.plan span { display: inline-block; width: 1.25rem; text-indent: 0 }
ul.plan .done span { color: var(--good) }
ul.plan .dropped { color: var(--quiet); text-decoration: line-through }
ul.plan .in_progress { font-weight: 600 }
.code [class^=k], .code .ow { color: var(--keyword) }
.code [class^=s] { color: var(--string) }
.code [class^=c] { color: var(--comment) }
.code [class^=m] { color: var(--number) }
.code .nf, .code .nc, .code .nd, .code .nb, .code .nt { color: var(--name) }
.code .ln { color: var(--quiet); user-select: none }
.code .gi { background: var(--added) }
.code .gd { background: var(--removed) }
.code .gh, .code .gu { color: var(--name) }
.chart { width: 100%; height: auto; display: block }
.chart text { fill: var(--quiet); font: 11px system-ui, sans-serif }
.chart .grid { stroke: var(--line) }
.chart polyline { fill: none; stroke: var(--accent, var(--user)); stroke-width: 2; stroke-linejoin: round }
.chart circle { fill: var(--quiet) }
"""
"""The colours and the look of messages, also on the web page."""

LAYOUT = """
@media (min-width: 76rem) {
  body { max-width: 74rem; display: grid; grid-template-columns: 16rem minmax(0, 1fr); gap: 0 2.5rem;
    align-items: start }
  header { grid-column: 1 / -1 }
  nav { position: sticky; top: 1rem; max-height: calc(100vh - 2rem); margin: 0 }
  nav + main > :first-child { margin-top: 0 }
  main { grid-column: 2 }
}
"""
"""The place of the table of contents on wide screens."""
