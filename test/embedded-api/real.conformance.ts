/** The suite of the embedded API, asked of a real kube-apiserver on etcd. */

import { afterAll } from 'vitest';

import { RealApi, realApiVersions } from '../lab/real-api.ts';
import { describeApi } from './suite.ts';

let api: RealApi | undefined;
afterAll(() => api?.close());

describeApi('real API', async () => {
  console.log(await realApiVersions());
  const real = await RealApi.create({ members: [{ name: 'n1', address: '127.0.0.1' }] });
  api = real;
  await real.start();
  const forgetHistory = async (): Promise<void> => {
    const { apiServer } = real.processesOf('n1');
    await apiServer?.stop();
    real.startApiServer('n1');
    await real.waitReady('n1');
  };
  return { client: real.client('n1'), forgetHistory };
});
