"""The style sheet, light and dark: a palette, what drawings use, and what pages add to both."""

from __future__ import annotations

_PALETTE = """
:root{color-scheme:light dark;--bg:#f5f7f9;--card:#fff;--ink:#17212b;--soft:#5c6b79;--line:#e2e7ec;--accent:#0b6e99;
--done:#1d8a56;--attention:#b7791f;--failed:#c0392b;--never:#a9b4be;
--v0:#2878b5;--v1:#c9701a;--v2:#2b8f5c;--v3:#8a5cc2;--v4:#b8487f}
@media(prefers-color-scheme:dark){:root{--bg:#10161c;--card:#182129;--ink:#e6ecf1;--soft:#93a2b0;--line:#2a3641;
--accent:#5ab4dc;--done:#4cc38a;--attention:#e3b25a;--failed:#f0776a;--never:#5b6873}}
"""
# A drawing's colour is --v: the accent, or what the class of a shape or of its group sets.
_DRAWINGS = """
svg{--v:var(--accent)} svg:root{background:var(--bg)} svg text{font:13px system-ui,sans-serif;fill:var(--ink)}
svg .v0{--v:var(--v0)} svg .v1{--v:var(--v1)} svg .v2{--v:var(--v2)} svg .v3{--v:var(--v3)} svg .v4{--v:var(--v4)}
svg .champion,svg .best{--v:var(--v3)} svg .baseline{--v:var(--never)} svg .pruned{--v:var(--attention)}
svg .failed,svg .over{--v:var(--failed)}
svg .soft{fill:var(--soft);font-size:11px} svg .strong{font-weight:650} svg .code{font:11px ui-monospace,monospace}
svg .alert{fill:var(--failed)} svg .warning{fill:var(--attention)}
svg .axis{stroke:var(--line)} svg .grid{stroke:var(--line);stroke-dasharray:2 4}
svg .limit{stroke:var(--failed);stroke-dasharray:4 4} svg .neutral .limit{stroke:var(--soft)}
svg .limit-name{fill:var(--failed);font-size:11px} svg .neutral .limit-name{fill:var(--soft)}
svg .dot{fill:var(--v);stroke:var(--v)} svg .hollow{fill:none} svg .cross{fill:none;stroke:var(--v);stroke-width:2}
svg .bar{fill:var(--v);opacity:.8} svg .interval{fill:var(--v);opacity:.28} svg .band{fill:var(--v);opacity:.16}
svg .path{fill:none;stroke:var(--v);stroke-width:2} svg .name{font-weight:650;fill:var(--v)}
svg .inside{font-size:12px;fill:#fff;font-weight:600} svg .label{font-size:12px}
svg .figure{font-size:12px;paint-order:stroke;stroke:var(--card);stroke-width:5px}
svg .trained{fill:var(--v);opacity:.16} svg .judged{fill:var(--v);opacity:.34} svg .serving{fill:var(--v)}
svg .signal{--v:var(--failed)} svg .signal line{stroke:var(--v)} svg .signal polygon,svg .signal text{fill:var(--v)}
svg .signal text{font-size:12px;font-weight:600} svg .unanswered{--v:var(--soft)}
svg .unanswered line{stroke-dasharray:3 4} svg .unanswered text{font-weight:400}
svg .box{fill:var(--card);stroke:var(--line)} svg .edge{fill:var(--v)} svg .lane{fill:var(--soft);opacity:.06}
svg .link{fill:none;stroke:var(--soft);stroke-width:1.4;opacity:.65}
svg .link-trained{stroke:var(--accent);stroke-width:2;opacity:.9}
svg .link-judged{stroke:var(--attention);stroke-width:2;stroke-dasharray:6 4;opacity:.95}
svg .heat{fill:var(--attention)} svg .part{fill:var(--v);opacity:.45} svg .rest{fill:var(--never);opacity:.4}
svg .link-history{stroke-dasharray:2 4}
"""
_PAGES = """
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1.25rem 3rem}
a{color:var(--accent);text-decoration:none} a:hover{text-decoration:underline}
h1,h2,p,dd,td,th,li,code,small{overflow-wrap:anywhere;unicode-bidi:plaintext}
td,th{overflow-wrap:break-word;max-width:26rem} .loop b{overflow-wrap:normal}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 1rem} h2{font-size:1.02rem;margin:0 0 .7rem}
.crumbs{font-size:.74rem;letter-spacing:.09em;text-transform:uppercase;color:var(--soft);margin:0 0 .25rem}
.lead{font-size:1.05rem;color:var(--soft);margin:-.7rem 0 1rem;max-width:48rem}
.facts{display:flex;flex-wrap:wrap;gap:.4rem 2rem;margin:0 0 1.4rem} .facts div{min-width:0}
.facts dt{font-size:.78rem;color:var(--soft)} .facts dd{margin:0;font-weight:550}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.1rem 1.25rem;
margin-bottom:1rem;min-width:0} .card>:last-child{margin-bottom:0} .scroll,.card{overflow-x:auto}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(27rem,100%),1fr));gap:0 1rem}
.loop{display:grid;grid-template-columns:repeat(2,1fr);gap:1rem 0;list-style:none;padding:0;margin:0}
@media(min-width:46rem){.loop{grid-template-columns:repeat(5,1fr)}}
@media(min-width:76rem){.loop{grid-template-columns:repeat(10,minmax(min-content,1fr))}}
.loop li{position:relative;padding:1.6rem .5rem 0 0;font-size:.84rem;min-width:min-content}
.loop li::before{content:"";position:absolute;top:.5rem;left:0;right:0;height:2px;background:var(--line)}
.loop li:last-child::before{right:auto;width:.9rem}
.loop li::after{content:"";position:absolute;top:.06rem;left:0;width:.95rem;height:.95rem;border-radius:50%;
border:3px solid var(--card);background:var(--never)}
.loop .done::after{background:var(--done)} .loop .attention::after{background:var(--attention)}
.loop .failed::after{background:var(--failed)}
.loop .never::after{background:var(--card);box-shadow:0 0 0 2px var(--never) inset}
.loop b{display:block;text-transform:capitalize} .loop span{display:block;color:var(--soft);font-size:.78rem}
.loop .failed span:first-of-type{color:var(--failed)} .loop .attention span:first-of-type{color:var(--attention)}
.big{font-size:2.1rem;font-weight:650;line-height:1.1;margin:0 0 .5rem}
.big small{font-size:.9rem;font-weight:400;color:var(--soft)}
.changes{list-style:none;margin:0;padding:0;font-size:.88rem}
.changes li{padding:.3rem 0 .3rem .9rem;border-left:2px solid var(--line)}
.changes b{display:block} .changes b::first-letter{text-transform:uppercase} .changes p{margin:0;color:var(--soft)}
.wide table{min-width:56rem} .wide a{white-space:nowrap} .wide code{white-space:pre-wrap}
table{border-collapse:collapse;width:100%;font-size:.88rem} th{font-weight:500;color:var(--soft);text-align:left}
th,td{padding:.45rem .8rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:middle}
tr:last-child td{border-bottom:0} td small{display:block;color:var(--soft);font-size:inherit}
.number+:not(.number){padding-left:1.2rem}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.badge{display:inline-block;max-width:16rem;overflow:hidden;text-overflow:ellipsis;vertical-align:bottom;
border-radius:99px;padding:.02rem .6rem;font-size:.78rem;border:1px solid var(--line);color:var(--soft);
white-space:nowrap} .badge.live{background:var(--accent);border-color:var(--accent);color:var(--card)}
.badge.rejected,.badge.crossed,.badge.failed{border-color:var(--failed);color:var(--failed)}
.badge.held,.badge.approved{border-color:var(--done);color:var(--done)}
.badge.attention{border-color:var(--attention);color:var(--attention)}
.muted{color:var(--soft)} .right{float:right;font-size:.8rem;color:var(--soft)} .nowrap{white-space:nowrap}
.decision{color:var(--soft);margin:0} .decision b{color:var(--ink)}
details{font-size:.85rem} summary{cursor:pointer;color:var(--soft)} pre{overflow-x:auto}
@media(max-width:34rem){.right{float:none;display:block}}
svg{display:block;width:100%;min-width:24rem;height:auto} .wide svg{min-width:60rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(15rem,100%),1fr));gap:.8rem}
.tile{border:1px solid var(--line);border-radius:10px;padding:.6rem .75rem;min-width:0} .tile svg{min-width:0}
.tile b{overflow-wrap:anywhere} .tile p{margin:.1rem 0 .3rem;font-size:.78rem;color:var(--soft)}
.tile.out{background:var(--bg)} .tile .badge{float:right} .todo{margin:0;padding-left:1.2rem} .todo li{margin:.25rem 0}
.compare text{font-size:19px} .compare p{font-size:.85rem;margin:.4rem 0 0}
.empty{text-align:center;padding:4rem 1rem;color:var(--soft)} .empty h1{color:var(--ink);margin-bottom:.5rem}
.unreadable h2{color:var(--failed)} .unreadable ul{margin:0;padding-left:1.2rem}
main.framed{max-width:none;height:100vh;padding:0;display:flex;flex-direction:column}
.framed nav{display:flex;flex-wrap:wrap;gap:.2rem 1.5rem;align-items:baseline;padding:.5rem 1rem;
border-bottom:1px solid var(--line);background:var(--card)}
.framed .crumbs{margin:0} .framed nav span a{margin-right:1rem} .framed small{color:var(--soft)}
.framed iframe{flex:1;border:0;background:#fff;width:100%}
"""
#: For a page with its drawings.
STYLE = _PALETTE + _DRAWINGS + _PAGES
#: For a drawing that is a file of its own.
DRAWING_STYLE = _PALETTE + _DRAWINGS
