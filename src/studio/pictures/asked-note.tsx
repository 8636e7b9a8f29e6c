/** What is said while pictures are asked for: that the model is being loaded, and what went wrong. */
import { useTexts } from '../i18n/index.ts';
import { ProblemNote } from '../parts/problem.tsx';
import { ProgressBar } from '../parts/progress.tsx';
import type { Asked } from './ask.ts';

export function AskedNote({ asked, retry }: { asked: Asked; retry: () => void }) {
  const { t } = useTexts();
  const { loading, problem } = asked;
  return (
    <>
      <div role="status">
        {loading !== undefined && (
          <div class="loading-model">
            <p>{loading.message || t.playground.status.loading}</p>
            <ProgressBar value={loading.progress} label={t.pictures.loadingModel} />
          </div>
        )}
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={retry} />}
    </>
  );
}
