"""The closed loop, as far as it is pure: from the service's advice to orders for the integration.

``decide`` turns a state and what is known at a step into a new state and orders; an integration
carries them out, and ``settle`` takes in how that went.
"""
