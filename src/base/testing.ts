/** What tests of any folder want. */

/** `passed` comes true when `open` is called: it holds back whoever waits for it, however slow the machine is. */
export function gate(): { passed: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
