"""Pure detection: reports in, findings out; numpy and the standard library only.

``engine.init(layers)`` makes a state, ``engine.update(state, frame, layers)`` returns the next
state and the findings. The same reports give bit-identical findings however they are cut into
frames.
"""
