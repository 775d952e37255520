"""The closed loop on live training: are faulty runs mended, and healthy ones left alone?"""
