/** Names with their values, in pairs. */
export function Facts({ list, look = 'facts' }: { list: readonly (readonly string[])[]; look?: string }) {
  return (
    <dl class={look}>
      {list.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
