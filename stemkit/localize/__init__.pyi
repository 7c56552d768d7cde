from ._locator import AtomLocator as AtomLocator
