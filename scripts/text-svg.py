#!/usr/bin/env python3
"""A terminal's text as a picture for the docs: text-svg.py <CAPTURE >PICTURE.svg"""
import html
import sys
import textwrap

WIDTH = 112
lines = []
for line in sys.stdin.read().replace("\r", "").strip("\n").split("\n"):
    lines += textwrap.wrap(line, WIDTH, subsequent_indent="    ") or [""]
height = 18 * len(lines) + 28
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{8 * WIDTH + 24}" height="{height}">')
print('<rect width="100%" height="100%" rx="6" fill="#1b1f24"/>')
print('<g font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="13" xml:space="preserve">')
command = False
for number, line in enumerate(lines):
    command = line.startswith("$ ") or (command and line.startswith("    "))
    title = line[:1].isdigit() and line[1:3] == ". " or line.startswith("And what")
    colour = "#8ec07c" if command else "#fabd2f" if title else "#e6e1cf"
    print(f'<text x="12" y="{18 * number + 26}" fill="{colour}">{html.escape(line)}</text>')
print("</g>\n</svg>")
