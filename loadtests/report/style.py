"""The style sheet of the HTML report: light, dark, narrow screens, and print."""

_LIGHT = """
--page: #fff; --panel: #f6f8fa; --ink: #1b1f24; --soft: #57606a; --grid: #e4e8ec; --edge: #d0d7de; --link: #0550ae;
--pass: #1a7f37; --fail: #cf222e; --undecided: #9a6700; --on: #fff;
--c1: #0969da; --c2: #7b3fc4; --c3: #c2410c; --c4: #0f766e; --worst: #b4235a;
--fault: #cf222e22; --recovering: #9a670017;
--sending: #8c959f; --announcing: #54aeff; --unannounced: #d4a72c; --waiting: #c8b6f5; --refetching: #4ac26b;
--dim: #0000000d; color-scheme: light;
"""
_DARK = """
--page: #0d1117; --panel: #161b22; --ink: #e6edf3; --soft: #9aa5b1; --grid: #21272f; --edge: #3d444d; --link: #79b8ff;
--pass: #3fb950; --fail: #ff7b72; --undecided: #e3b341; --on: #0d1117;
--c1: #58a6ff; --c2: #c297ff; --c3: #ff9b50; --c4: #39c5bb; --worst: #ff8fb8;
--fault: #ff7b7233; --recovering: #e3b34120;
--sending: #6e7681; --announcing: #388bfd; --unannounced: #bb8009; --waiting: #8957e5; --refetching: #2ea043;
--dim: #ffffff14; color-scheme: dark;
"""
STYLE = (
    f":root {{ {_LIGHT} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}\n"
    """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1040px; padding: 24px 24px 64px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-bottom: 6px; border-bottom: 1px solid var(--edge); }
h3 { font-size: 16px; margin: 26px 0 2px; }
p { margin: 4px 0 10px; max-width: 76ch; overflow-wrap: anywhere; }
a { color: var(--link); }
code, pre, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 13px; }
pre { background: var(--panel); border: 1px solid var(--edge); border-radius: 6px; padding: 12px 14px;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 12px; top: 8px; background: var(--page); padding: 6px 10px; z-index: 2; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 14px 0 0; padding: 0; }
.verdict { border: 1px solid var(--edge); border-left: 10px solid var(--tone); border-radius: 8px; padding: 18px 22px;
  background: var(--panel); }
.verdict.pass { --tone: var(--pass); } .verdict.fail { --tone: var(--fail); }
.verdict.undecided { --tone: var(--undecided); }
.badge { display: inline-block; background: var(--tone); color: var(--on); font-weight: 700; font-size: 20px;
  border-radius: 6px; padding: 2px 14px; margin-bottom: 8px; letter-spacing: .03em; }
.verdict .why { font-size: 17px; margin: 8px 0 2px; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; max-width: 90ch; overflow-wrap: anywhere; }
.verdict ul.causes { list-style: none; padding: 0; font-weight: 600; }
.facts { margin: 6px 0 12px; max-width: 90ch; } .facts dt { color: var(--soft); font-size: 13px; margin-top: 6px; }
.facts dd { margin: 0 0 2px; overflow-wrap: anywhere; } h4 { font-size: 15px; margin: 14px 0 2px; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 16px 0 0;
  padding: 0; }
.tiles div { border: 1px solid var(--edge); border-radius: 8px; padding: 10px 14px; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 0; font-size: 24px; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
.scroll { overflow-x: auto; margin: 6px 0 12px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 50%; }
caption { text-align: left; color: var(--soft); font-size: 13px; padding: 4px 0; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { padding: 5px 14px 5px 0; text-align: right; border-bottom: 1px solid var(--grid); vertical-align: top;
  white-space: nowrap; }
th:first-child, .text { text-align: left; }
td.text { white-space: normal; }
td.text p { margin: 0; min-width: 220px; max-width: 560px; overflow-wrap: anywhere; }
thead th { color: var(--soft); font-weight: 500; font-size: 13px; border-bottom-color: var(--edge); }
tbody th { font-weight: 500; }
.slos th:first-child { white-space: normal; min-width: 130px; overflow-wrap: break-word; }
.mark { font-weight: 700; white-space: nowrap; }
.mark.pass { color: var(--pass); } .mark.fail { color: var(--fail); } .mark.undecided { color: var(--undecided); }
.good { color: var(--pass); } .bad { color: var(--fail); }
details { margin: 2px 0 10px; }
summary { cursor: pointer; color: var(--link); font-size: 14px; width: fit-content; }
.chart { margin: 0 0 8px; }
.chart figcaption p { color: var(--soft); font-size: 14px; }
svg { display: block; width: 100%; height: auto; }
svg.narrow { display: none; }
svg text { font: 13px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: var(--ink);
  font-variant-numeric: tabular-nums; }
svg .tick, svg .label { fill: var(--soft); }
svg .tick.bad { fill: var(--fail); font-weight: 600; }
.grid { stroke: var(--grid); fill: none; }
.axis { stroke: var(--soft); fill: none; }
.rail { stroke: var(--fail); stroke-dasharray: 2 4; fill: none; }
.rule { stroke: var(--ink); stroke-dasharray: 7 4; stroke-width: 1.3; fill: none; }
svg .rule-name { font-weight: 600; paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.band { stroke: none; }
.band.fault { fill: var(--fault); } .band.recovering { fill: var(--recovering); }
svg .band-name { fill: var(--fail); font-weight: 600; paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.band.worse { fill: var(--fail); } .band.better { fill: var(--pass); } svg .band-name.better { fill: var(--pass); }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.line.max { stroke-width: 1.3; stroke-dasharray: 3 2; } .line.visible { stroke-width: 3; }
.p50, .c1 { stroke: var(--c1); } .p95, .c2 { stroke: var(--c2); } .p99, .c3 { stroke: var(--c3); }
.max { stroke: var(--worst); } .c4 { stroke: var(--c4); }
svg .name { stroke: none; font-weight: 600; }
.name.p50, .name.c1, .dot.p50, .dot.c1 { fill: var(--c1); } .name.p95, .name.c2, .dot.p95, .dot.c2 { fill: var(--c2); }
.name.p99, .name.c3, .dot.p99, .dot.c3 { fill: var(--c3); } .name.max, .dot.max { fill: var(--worst); }
.name.c4, .dot.c4 { fill: var(--c4); }
.dot { stroke: none; }
.accepted { fill: var(--c1); } .rejected { fill: var(--fail); } .unknown { fill: var(--undecided); }
.part.visible { fill: var(--pass); } .part.lost { fill: var(--fail); } .part.excused { fill: var(--sending); }
.part.unproven { fill: var(--undecided); }
.part.sending { fill: var(--sending); } .part.announcing { fill: var(--announcing); }
.part.unannounced { fill: var(--unannounced); } .part.waiting { fill: var(--waiting); }
.part.refetching, .part.replaying { fill: var(--refetching); }
svg .part-name { font-weight: 600; }
.waterfall .event:hover .hit { fill: var(--dim); } .hit { fill: transparent; }
.waterfall.alone { background: var(--page); } .axis-soft { stroke: var(--grid); fill: none; }
svg .group { font-weight: 600; }
.waterfall .group, .waterfall .tick, .event text { paint-order: stroke; stroke: var(--page); stroke-width: 3px; }
svg .group.fail { fill: var(--fail); } svg .group.pass { fill: var(--pass); }
svg .group.undecided { fill: var(--undecided); }
.cut { fill: var(--dim); stroke: var(--edge); stroke-dasharray: 2 3; } .band.stall { fill: var(--recovering); }
.span.rig { fill: var(--sending); } .span.answer { fill: var(--c1); } .span.opening { fill: var(--sending); }
.span.subscribed { fill: var(--edge); } .span.silence { fill: var(--unannounced); }
.span.shows { fill: var(--refetching); } .span.lacks { fill: var(--c3); }
.span.failed, .span.fault { fill: var(--fail); } .span.stall { fill: var(--undecided); }
.at { fill: none; stroke-width: 1.8; } .at.intended { stroke: var(--ink); } .at.joined { stroke: var(--soft); }
.at.frame, .at.replayed, .at.read { fill: var(--c1); stroke: var(--page); stroke-width: 1; }
.at.perhaps { fill: var(--page); stroke: var(--c1); }
.at.visible { fill: var(--pass); stroke: var(--page); stroke-width: 1; }
.at.never { stroke: var(--fail); stroke-width: 2.6; }
.band.margin { fill: var(--dim); } .whisker { stroke-width: 3; stroke-linecap: round; fill: none; }
.estimate { stroke: var(--page); stroke-width: 1.5; }
.whisker.pass { stroke: var(--pass); } .whisker.fail { stroke: var(--fail); }
.whisker.undecided { stroke: var(--undecided); } .whisker.hides { stroke: var(--sending); }
.estimate.pass { fill: var(--pass); } .estimate.fail { fill: var(--fail); }
.estimate.undecided { fill: var(--undecided); } .estimate.hides { fill: var(--sending); }
svg .said { font-weight: 600; } svg .said.pass { fill: var(--pass); } svg .said.fail { fill: var(--fail); }
svg .said.undecided { fill: var(--undecided); } svg .said.hides { fill: var(--soft); font-weight: 400; }
.line.single { stroke-width: 1; opacity: .35; } .single.base { stroke: var(--c1); } .single.new { stroke: var(--c3); }
.meter { width: 120px; display: inline-block; height: 9px; vertical-align: middle; margin-left: 8px; }
.meter .track { fill: var(--grid); } .meter .pass { fill: var(--pass); } .meter .fail { fill: var(--fail); }
.meter .undecided { fill: var(--undecided); }
.slot rect { fill: transparent; } .slot path { stroke: none; fill: none; } .slot text { display: none; }
.slot:hover rect { fill: var(--dim); } .slot:hover path { stroke: var(--soft); } .slot:hover text { display: inline; }
@media screen and (max-width: 720px) {
  body { padding: 14px 14px 48px; } h1 { font-size: 21px; } .verdict { padding: 14px; border-left-width: 7px; }
  svg.wide { display: none; } svg.narrow { display: block; } .tiles dd { font-size: 20px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; } th, td { padding-right: 10px; } .meter { display: none; }
}
@page { margin: 14mm 12mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav, .skip, .slot, .chart details { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .chart, .verdict, .tiles, .scroll, tr, pre { break-inside: avoid; }
  .tiles { grid-template-columns: repeat(5, 1fr); gap: 8px; } .tiles dd { font-size: 18px; } h2 { margin-top: 26px; }
  h2, h3, figcaption { break-after: avoid; }
  svg.wide { display: block; } svg.narrow { display: none; } .scroll { overflow: visible; }
  th, td { white-space: normal; padding-right: 8px; } td.text p { min-width: 0; }
}
"""
)
