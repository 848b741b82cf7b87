"""Ground truth from the annotations of several annotators, as section IV-A of the paper constructs it.

  shapes.py        ellipses, polygons, one annotator's opinion    raster.py       shapes -> masks
  labels.py        labels of an export -> lesions and grades       names.py        files of an export -> photographs
  label_studio.py  reads Label Studio's JSON                      label_regions.py its regions, in percent
  cvat.py          reads CVAT's XML for images
  coco.py          reads COCO's JSON of instances           labelme.py       reads labelme's JSON
  json_file.py     JSON from strangers
  diaretdb1.py     reads DIARETDB1's XML                           safe_xml.py     XML from strangers
  reading.py       any export -> annotations
  consensus.py     majority of grades and of masks                 cleaning.py     Table I against the marked lesions
  agreement.py     kappa, Fleiss' kappa, Dice                      patients.py     whose eye a photograph shows
  photographs.py   one photograph and its annotators
  sheet.py         the data sheet of a dataset, which `data.consensus_release` writes
  label_studio.xml the labelling interface of Label Studio
"""
