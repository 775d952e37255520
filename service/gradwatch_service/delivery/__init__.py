"""From a change of an alert to the people who have to know: planned, claimed, sent, settled."""
