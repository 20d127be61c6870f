// A process that migrates, to be killed while it does.
import { migrate } from '#store';

const [directory = '', url = '', key = ''] = process.argv.slice(2);
await migrate({ directory, url, secretKey: Buffer.from(key, 'hex') });
