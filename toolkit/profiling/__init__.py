"""Instruments that find leaks and wasted work, and mend what can be mended safely."""
