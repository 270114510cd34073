"""Inline SVG of curves, histograms, intervals, search trees and step graphs.

Colours are classes that the page's style sheet fills, so that a drawing follows the light or dark theme.
There are no style attributes, so the page's content security policy can forbid them.
"""
