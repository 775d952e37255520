"""Every action of DETECTORS section 5, built once; causes pick them and give them numbers.

``klass``: 1 may be applied by the client itself, 2 and 3 with rising confidence, 4 is for a person.
"""
