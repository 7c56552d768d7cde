from ._base import Denoiser as Denoiser
from ._blind_spot import BlindSpotDenoiser as BlindSpotDenoiser
from ._classical import GaussianDenoiser as GaussianDenoiser, LoGRenderDenoiser as LoGRenderDenoiser
from ._idf import IDFDenoiser as IDFDenoiser
from ._matched import MatchedDenoiser as MatchedDenoiser
from ._pinned import PINNEDDenoiser as PINNEDDenoiser
from ._scgn import SCGNDenoiser as SCGNDenoiser
from ._sfin import SFINDenoiser as SFINDenoiser
from ._split import SplitPairs as SplitPairs
from ._supervised import SupervisedDenoiser as SupervisedDenoiser
from ._udvd import UDVDDenoiser as UDVDDenoiser
from ._unet import UNetDenoiser as UNetDenoiser
