"""Rules on Python that ran: which rows reach a fit, a choice or a metric, by data flow inside one file."""
