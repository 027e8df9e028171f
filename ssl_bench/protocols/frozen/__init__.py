"""How a frozen backbone is read: features kept once, and the linear probe."""
