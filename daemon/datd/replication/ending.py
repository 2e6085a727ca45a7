"""When one feed of a connection is finished: the dialogue of Info messages.

Only ends that are not live finish; the daemon is live. Source: wire.md section 8.
"""

from datd.wire.messages import Info


class Ending:
    """One end's side of that dialogue.

    Attributes:
        finished: Both ends have said that they need nothing more; the channel is done.
    """

    def __init__(self, *, download: bool, live: bool) -> None:
        self.finished = False
        self._live = live
        self._ever_downloaded = download
        self._downloading = download
        self._remote_downloading = True

    def informed(self, info: Info, complete: bool) -> list[Info]:
        """The peer told whether it still downloads; what to answer.

        Args:
            info: Its message. That it uploads or not changes nothing.
            complete: Whether all that we want is here.
        """
        self._remote_downloading = info.downloading
        if self._remote_downloading or (self._downloading and not complete):
            return []
        return self._finish()

    def completed(self) -> list[Info]:
        """All that we want is here; what to say. May be called again and again."""
        return self._finish() if self._downloading else []

    def _finish(self) -> list[Info]:
        if self._live or self.finished:
            return []
        told = []
        if self._downloading:
            self._downloading = False
            told = [Info(uploading=True, downloading=False)]
        elif not self._ever_downloaded:
            told = [Info(uploading=False, downloading=False)]
        self.finished = not self._remote_downloading
        return told
