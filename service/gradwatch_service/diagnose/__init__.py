"""Pure diagnosis: findings in, one alert part per cause out, with numbered advice and the guard.

``fold.init`` and ``fold.update`` are the whole interface of a writer's stream; ``merge.join`` makes
the run's alert from its writers' parts. The same reports give bit-identical results however they
are cut into frames.
"""
