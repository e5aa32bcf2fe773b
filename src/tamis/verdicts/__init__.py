"""The verdicts: presets and rules, the deciding query, the election of survivors, what-if, and receipts."""
