"""Sources of problems and graders.

>>> from steiner.problems.countdown import make_problem
>>> make_problem([3, 5, 7], 22).answer
'7 + (3 * 5)'
"""
