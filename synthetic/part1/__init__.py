"""Part I's synthetic firm: 6782 pitched customers, 498 buyers, calibrated to Tables 2, 3 and 4."""
