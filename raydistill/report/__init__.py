"""What came out of a run: the table `results`, `report.html` and the closing summary in the terminal."""
