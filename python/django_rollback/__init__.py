"""Take a Django database back to the migrations of any release you have deployed."""

__version__ = "0.5.0"
