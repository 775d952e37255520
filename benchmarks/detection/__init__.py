"""Does it page when it should, and only then? Real training runs, recorded once and replayed."""
