"""More arrives than there is time for: whom we spoke to goes before strangers. Pure; time is given.

A full receive buffer loses the answers we wait for together with the flood, and what gets through
is seconds old: too late to be an answer. So once we fall behind, strangers are thinned out before
they cost anything (`sieve`), more and more, until there is time again for what remains.

Measured: a daemon that gets a tenth of a processor takes some 2,700 datagrams a second. At 20,000 a
second a buffer of 8 MiB kept each for 4 s, and every node of the DHT counted as dead.
"""

# Behind is who took so many datagrams, over so many seconds, and never came to the end of what
# waits. A process that only had to wait for its turn of the processor reaches that end soon.
_MANY = 512
_BEHIND = 0.25
# Each step leaves one stranger in so many; three steps leave 40 of 20,000 a second. If even that
# is too much, it is forged in the names of those we know. The last step then is a short queue: much
# is lost, but what gets through is fresh, and what is asked again is answered.
STEP = 8
THINNING_STEPS = 3
MOST_STEPS = THINNING_STEPS + 1
# After so long without falling behind, one step is taken back. That is a try, which costs a moment
# of falling behind while the flood lasts; strangers that are honest repeat themselves meanwhile.
PAUSE = 4.0
# Hosts that may answer, twice as many at most. It must hold all that we speak to within the time
# an answer may take, 2.5 s: 20 dials and, under attack, some 20 queries of the DHT a second.
MOST_SPOKEN_TO = 128


class Crowd:
    """Whether we keep up, and to whom we spoke lately.

    Attributes:
        steps: How much is left out; 0: everybody is heard.
    """

    def __init__(self) -> None:
        """We keep up, and spoke to nobody."""
        self.steps = 0
        self._since: float | None = None
        self._taken = 0
        self._stepped = 0.0
        self._lately: dict[str, None] = {}
        self._before: dict[str, None] = {}

    @property
    def share(self) -> int:
        """Of so many strangers one is heard."""
        return int(STEP ** min(self.steps, THINNING_STEPS))

    @property
    def short(self) -> bool:
        """Whether what waits is to be little."""
        return self.steps == MOST_STEPS

    @property
    def behind(self) -> bool:
        """Whether the end of what waits was not reached the last time."""
        return self._since is not None

    def took(self, datagrams: int, *, all_of_it: bool, now: float) -> bool:
        """Count what was taken in one go.

        Args:
            datagrams: How many.
            all_of_it: Whether nothing was left.
            now: Seconds.

        Returns:
            Whether `steps` has grown.
        """
        if all_of_it:
            self._since = None
            return False
        if self._since is None:
            self._since, self._taken = now, 0
        self._taken += datagrams
        if now - self._since < _BEHIND or self._taken < _MANY:
            return False
        self._since, self._stepped = None, now
        if self.steps == MOST_STEPS:
            return False
        self.steps += 1
        return True

    def relax(self, now: float) -> bool:
        """Take a step back if it is time; whether it was."""
        if not self.steps or now - self._stepped < PAUSE:
            return False
        self.steps -= 1
        self._stepped = now
        return True

    def spoke_to(self, host: str) -> bool:
        """Somebody is to be heard; whether that is news."""
        if host in self._lately:
            return False
        news = host not in self._before
        if len(self._lately) >= MOST_SPOKEN_TO:
            self._before, self._lately = self._lately, {}
        self._lately[host] = None
        return news

    @property
    def known(self) -> list[str]:
        """Hosts that we spoke to lately."""
        return list(self._before | self._lately)
