"""How the page looks, in light and in dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --shade: #f5f7f9; --link: #0b5cad;
  --get: #0b6e4f; --post: #7a4b00; --put: #4a3aa8; --delete: #a8243a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #dde3ea; --soft: #97a3b1; --line: #2c343d; --shade: #1c2229; --link: #7ab7f5;
    --get: #5fd0a5; --post: #eab765; --put: #b3a6ff; --delete: #ff8b9c;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre, nav li li, .get, .post, .put, .delete { font-family: ui-monospace, monospace; font-size: 0.87em; }
code { background: var(--shade); border-radius: 4px; padding: 0.1em 0.3em; overflow-wrap: anywhere; }
pre { background: var(--shade); border-radius: 6px; padding: 0.8em 1em; overflow-x: auto; }
small { color: var(--soft); font-size: 0.93em; }
main { max-width: 62rem; padding: 1.5rem; }
nav { padding: 1.5rem; }
nav h2 { font-size: 1rem; margin: 0 0 1rem; }
nav ul { list-style: none; margin: 0 0 0.8rem; padding: 0; }
nav li li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
nav li li a { color: var(--soft); }
h1 { font-size: 1.7rem; margin: 0 0 0.6rem; }
section > h2 { border-bottom: 2px solid var(--line); margin: 3rem 0 0.8rem; padding-bottom: 0.3rem; }
article { border: 1px solid var(--line); border-radius: 8px; margin: 1.2rem 0; padding: 0.4rem 1.2rem 1.1rem; }
article:target { border-color: var(--link); }
h3 { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.6em; font-size: 1.05rem; margin: 0.7rem 0 0.4rem; }
h3 > a { font-weight: normal; font-size: 0.85em; margin-left: auto; }
h3 code { background: none; padding: 0; font-size: 0.95em; }
h4 { margin: 1.1rem 0 0.4rem; font-size: 0.93rem; }
p { margin: 0.4rem 0 0.8rem; }
.get, .post, .put, .delete { font-weight: bold; text-transform: uppercase; }
.get { color: var(--get); }
.post { color: var(--post); }
.put { color: var(--put); }
.delete { color: var(--delete); }
.wide { overflow-x: auto; margin-top: 0.7rem; }
table { border-collapse: collapse; width: 100%; min-width: 40rem; font-size: 0.93em; }
th { color: var(--soft); font-weight: normal; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: 0.35em 0.8em 0.35em 0; vertical-align: top; }
th:first-child, td:first-child { white-space: nowrap; width: 1%; padding-right: 1.6em; }
td b { color: var(--delete); }
@media (min-width: 70rem) {
  body { display: grid; grid-template-columns: 19rem 1fr; }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; border-right: 1px solid var(--line); }
  main { padding: 1.5rem 3rem; }
}
"""
