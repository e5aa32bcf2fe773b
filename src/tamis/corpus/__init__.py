"""From kept documents to what a model trains on: mixture, order, tokens, shard formats, report and card."""
