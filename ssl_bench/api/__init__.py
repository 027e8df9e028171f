"""The contracts that plugins keep, and how plugins are found."""
