from ._frame import rename_released as rename_released
from .degradation import DegradationNet as DegradationNet
from .idf import IDF as IDF
from .pinned import PINNED as PINNED
from .scgn import SCGN as SCGN
from .sfin import SFIN as SFIN
from .udvd import UDVD as UDVD
from .unet import UNet as UNet
