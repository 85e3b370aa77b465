"""DICOM: series of images as scans, and segmentations. It needs the extra ``semivox[dicom]`` once it is used.

What is read of a patient stays in memory: names, messages and outputs have the series' number and
description, and a keyed pseudonym.
"""
